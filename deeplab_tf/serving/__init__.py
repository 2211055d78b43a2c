"""A thin server for a SavedModel, with TensorFlow Serving's REST and gRPC interfaces."""
