// What is known to go wrong, with its reason, until it is mended: `{ page, states, complaint, reason }`. An entry that
// does not happen any more fails.

export const KNOWN = [
  {
    page: 'service-worker', states: ['agreed, then withdrawn'], complaint: 'was called: tags.unknown.example/told',
    reason: 'A service worker keeps the policy with which its script came, and browsers end it only when its pages are closed.',
  },
];
