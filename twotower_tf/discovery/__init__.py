"""What a folder of unknown files holds: a first configuration, guessed by names and contents."""
