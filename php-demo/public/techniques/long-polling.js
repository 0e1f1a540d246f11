// Long polling: the server answers when something has happened, or when it has waited long enough. Then ask again at
// once, from the cursor of that answer; after an error in a while. An empty cursor asks for the position only.
export default function longPolling(panel) {
	const stopped = new AbortController();
	let cursor = '';

	async function ask() {
		let pause = 0;
		try {
			panel.asks();
			const response = await fetch(`/comet/demo?since=${cursor}`, { signal: stopped.signal });
			const text = await response.text();
			panel.received(text);
			const answer = JSON.parse(text); // an error page is no JSON: that is caught below
			cursor = answer.cursor;
			panel.live();
			if (answer.gap) {
				panel.gap();
			}
			answer.events.forEach((event) => panel.event(event));
		} catch {
			panel.lost();
			pause = 1000 + 2000 * Math.random(); // not all visitors in the same moment
		}
		if (!stopped.signal.aborted) {
			setTimeout(ask, pause);
		}
	}

	ask();
	return () => stopped.abort();
}
