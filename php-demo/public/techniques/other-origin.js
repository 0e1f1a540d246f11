// For a browser localhost and 127.0.0.1 are two sites, so one of them stands in for a server elsewhere. A page that was
// opened by any other name has no such second name: '' is its own.
const other = { localhost: '127.0.0.1', '127.0.0.1': 'localhost' }[location.hostname];

export const otherOrigin = other ? `${location.protocol}//${other}:${location.port}` : '';
