"""Activation patching on GPT-2: texts in, maps out. Knows no Streamlit."""

import os

# Before torch is imported anywhere below: let its threads sleep when they wait for each other.
# By default they spin, and as soon as another process wants a processor every product waits for
# a thread that has none: sweeps then took thirty times as long as with sleeping threads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
