"""Votes to claims: tables of battles, fits, intervals, tests, and how many votes it takes. Pure; no server."""
