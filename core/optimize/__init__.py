"""What makes the files of a pair fit the machine that they run on."""
