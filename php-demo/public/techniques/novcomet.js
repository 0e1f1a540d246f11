// NovComet: its own script does it all, see /NovComet.js. It asks again a second after each answer, and after each error.
// An answer names what happened and when, and no more: a page then fetches what it needs.
const { run } = NovComet;

export default function novComet(panel) {
	const stopped = new AbortController();

	// Only to count, and to stop, which it cannot by itself.
	NovComet._getJSON = async (url) => {
		panel.asks();
		try {
			const response = await fetch(url, { signal: stopped.signal });
			const text = await response.text();
			panel.received(text);
			const answer = JSON.parse(text);
			panel.live();
			return answer;
		} catch (error) {
			panel.lost();
			throw error;
		}
	};
	NovComet.run = run;

	NovComet.subscribe('demo', () => panel.told('demo'));
	NovComet.subscribe('customAlert', () => panel.told('customAlert'));
	NovComet.run();
	panel.live();

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
