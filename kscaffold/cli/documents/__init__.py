"""Every JSON document of the command line, a function each, by subject.

The keys are a contract: tests/test_contracts.py lists them. A key may be added; none changes its meaning.
The functions take frozen reports and import next to nothing: a command pays for no other command's types.
"""
