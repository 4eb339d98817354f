"""Prefect flows, one module each, from reading the sources to publishing scores and audiences.

A flow is a short script over the services in `services/`. `commands/` is the command line,
`checks/` what is looked at before work begins, `report/` the page of a run, `setup/` the proposed
config. Begin with `run.py`, the flow that calls the others.
"""
