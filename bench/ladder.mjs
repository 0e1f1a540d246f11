// Follows a channel by the client library, and says after how many milliseconds the first event came by a transport.
import comet from './comet.mjs';

const [base, channel, transport] = process.argv.slice(2);
const began = performance.now();
const live = comet(base, { share: false });
live.on(channel, () => {
	if (live.state === 'open' && live.transport === transport) {
		console.log(performance.now() - began);
		process.exit();
	}
});
