"""Reads include/tenon.h and writes what is made from it. The order of the modules: header, rules, description, writers."""
