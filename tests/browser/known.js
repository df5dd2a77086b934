// What is known to go wrong, with its reason, until it is mended: `{ page, states, complaint, reason }`. An entry that
// does not happen any more fails.

export const KNOWN = [];
