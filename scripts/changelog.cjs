// How changesets become changelogs.

/**
 * @param {unknown} _changesets
 * @param {readonly { name: string, newVersion: string }[]} dependencies that have a new version
 */
exports.getDependencyReleaseLine = (_changesets, dependencies) => {
  const names = dependencies.map(({ name, newVersion }) => `${name} ${newVersion}`);
  return Promise.resolve(names.length === 0 ? '' : `- Uses ${names.join(', ')}`);
};

/** @param {{ summary: string }} changeset */
exports.getReleaseLine = ({ summary }) => Promise.resolve(`- ${summary.trim().replaceAll('\n', '\n  ')}`);
