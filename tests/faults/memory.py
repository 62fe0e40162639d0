"""What a process holds."""

from pathlib import Path


def resident_mb(pid: int) -> float:
    """Resident memory, in MB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
