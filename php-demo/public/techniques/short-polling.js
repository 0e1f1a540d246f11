// Short polling: ask every two seconds. Each answer brings the cursor to ask with next, so that nothing between two
// questions is missed. An empty one asks for the position only.
export default function shortPolling(panel) {
	const stopped = new AbortController();
	let cursor = '';

	async function ask() {
		try {
			panel.asks();
			const response = await fetch(`/comet/demo?since=${cursor}&wait=0`, { signal: stopped.signal });
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
		}
		if (!stopped.signal.aborted) {
			setTimeout(ask, 2000);
		}
	}

	ask();
	return () => stopped.abort();
}
