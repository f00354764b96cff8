"""Activation patching on GPT-2: texts in, maps out. Knows no Streamlit."""

import os

# Before torch is imported anywhere below: how its threads wait for each other. By default they
# spin for long, and as soon as another process wants a processor every product waits for a thread
# that has none: sweeps then took thirty times as long. So they sleep, after a spin of some
# microseconds (for GNU's OpenMP), without which the many small products of a sweep would suffer.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
