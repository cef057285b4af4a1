"""The controller process: a loop that receives, asks the core, commits and sends. It never unpickles a payload."""
