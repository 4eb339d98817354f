-- Run once by the PostgreSQL image, for a new volume: a database for each server.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
