"""A thin server that speaks TensorFlow Serving's REST and gRPC forms."""
