// Ends with 0 if this Node is one that the bundler of @jupyter/builder runs on.
const [major, minor] = process.versions.node.split('.').map(Number);
const enough = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
process.exit(enough ? 0 : 1);
