"""`lus` on the command line: one thin verb a stage and a job."""
