"""What `bench.py` and `bench_gpu.py` time: ways to do one piece of work, taking turns."""
