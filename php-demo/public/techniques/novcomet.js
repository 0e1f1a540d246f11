// NovComet: its own script does it all, see /NovComet.js. It asks again a second after each answer, and after each error.
// An answer names what happened and when, and no more: a page then fetches what it needs.
const { run } = NovComet;

export default function novComet(panel) {
	const stopped = new AbortController();

	// Only to count, and to stop, which it cannot by itself.
	NovComet._getJSON = async (url) => {
		const held = setTimeout(() => panel.live(), 500); // no answer by now: it waits
		panel.asks();
		try {
			const response = await fetch(url, { signal: stopped.signal });
			const text = await response.text();
			panel.received(text);
			return JSON.parse(text);
		} catch (error) {
			panel.lost();
			throw error;
		} finally {
			clearTimeout(held);
		}
	};
	NovComet.run = run;

	NovComet.subscribe('demo', () => panel.told('demo'));
	NovComet.subscribe('customAlert', () => panel.told('customAlert'));
	NovComet.run();

	panel.on('[data-touch]', 'click', () => {
		panel.expect();
		NovComet.publish('customAlert'); // a GET that goes on to PHP, which touches the file
	});

	return () => {
		NovComet.run = () => {};
		clearTimeout(NovComet._timeout);
		stopped.abort();
	};
}
