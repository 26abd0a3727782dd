// How changesets become changelogs.

// All packages have one version: that each asks for the others of the same release is no news of it.
exports.getDependencyReleaseLine = () => Promise.resolve('');

/** @param {{ summary: string }} changeset */
exports.getReleaseLine = ({ summary }) => Promise.resolve(`- ${summary.trim().replaceAll('\n', '\n  ')}`);
