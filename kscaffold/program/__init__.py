"""A user's program, made ready to run in a guest: found, compiled, with all that it needs beside it."""
