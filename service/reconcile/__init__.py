"""After the stand-in: what was answered from the snapshot, compared with what the upstream says once it is back."""
