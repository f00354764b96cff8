"""What the pages share: the experiment of this session, the running sweep, safe HTML."""
