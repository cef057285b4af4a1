// Check of the Node version: exits with 0 if the bundler of @jupyter/builder runs on it.
const [major, minor] = process.versions.node.split('.').map(Number);
const isNewEnough = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
process.exit(isNewEnough ? 0 : 1);
