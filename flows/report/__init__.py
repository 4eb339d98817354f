"""The life-cycle report: one page a run, made of what the run left and what the archive knows."""
