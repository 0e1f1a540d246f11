// Follows a channel by the client library, and says after how many milliseconds the first event came by a transport.
import comet from './comet.mjs';

// Of a handshake that fails node says "error" before version 22; browsers say "close" as well.
globalThis.WebSocket = class extends WebSocket {
	constructor(url) {
		super(url);
		this.addEventListener('error', () => this.dispatchEvent(Object.assign(new Event('close'), { code: 1006 })));
	}
};

const [base, channel, transport] = process.argv.slice(2);
const began = performance.now();
const live = comet(base, { share: false });
live.on(channel, () => {
	if (live.state === 'open' && live.transport === transport) {
		console.log(performance.now() - began);
		process.exit();
	}
});
