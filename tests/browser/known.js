// What is known to go wrong, with its reason, until it is mended: `{ page, states, complaint, reason }`. An entry that
// does not happen any more fails.

export const KNOWN = [
  {
    page: 'unknown-third-party',
    states: ['undecided', 'refused', 'GPC', 'scripts off', 'statistics', 'statistics and GPC'],
    complaint: 'was called: widgets.unknown.example',
    reason: 'Chromium connects to the host of a frame before it asks the policy',
  },
];
