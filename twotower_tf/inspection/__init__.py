"""What a build would find in a source, from a look at some of it: nothing is written."""
