// Piggybacking: an ordinary request to PHP, with two headers that PHP never sees. The answer is PHP's, with one or two
// headers that PHP never wrote: the cursor for the next time, and which channels had news since the last.
export default function piggyback(panel) {
	let cursor = '';

	async function ask() {
		panel.asks();
		try {
			const response = await fetch('/page.php', { headers: { 'Comet-Since': cursor, 'Comet-Channels': 'demo,customAlert' } });
			const text = await response.text();
			panel.received(text);
			if (!response.ok) {
				throw new Error(response.status);
			}
			const news = response.headers.get('Comet-News');
			cursor = response.headers.get('Comet-Cursor') ?? cursor;
			panel.live();
			panel.find('[data-answer]').textContent = text;
			panel.told(news ? `and there is news on ${news}` : 'and there is no news', null);
		} catch {
			panel.lost();
		}
	}

	panel.on('[data-ask]', 'click', ask);
	panel.on('[data-publish-header]', 'click', async () => {
		const said = panel.find('[data-published]');
		try {
			const answer = await Demo.publish('header', 'demo', document.getElementById('text')?.value ?? 'by a header');
			said.textContent = `PHP answered at ${new Date(answer.at * 1000).toLocaleTimeString('en-GB')}, and its header has become an event.`;
		} catch (error) {
			said.textContent = error.message;
		}
	});

	ask();
	return () => {};
}
