"""What long work stands on: jobs and engines, run directories, locks, atomic writes, devices, progress."""
