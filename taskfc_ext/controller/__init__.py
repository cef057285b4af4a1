"""The controller: one plain loop that receives, asks the core, commits and sends. Opens no payload, ever."""
