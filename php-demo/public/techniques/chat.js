// Chat on one file: ask whether the file is newer than what is known; the answer, which may take for ever, is its content
// and its time. The white space that keeps a long silence alive is no matter to JSON.
export default function chat(panel) {
	const stopped = new AbortController();
	let timestamp = 0; // what is in the file by now comes at once

	async function ask() {
		let pause = 0;
		const held = setTimeout(() => panel.live(), 500); // no answer by now: it waits
		try {
			panel.asks();
			const response = await fetch(`/chat.php?timestamp=${timestamp}`, { signal: stopped.signal });
			const text = await response.text();
			panel.received(text);
			const answer = JSON.parse(text); // an error page is no JSON: that is caught below
			timestamp = answer.timestamp;
			panel.told(answer.msg); // shown as text: who chats must not write this page's HTML
		} catch {
			panel.lost();
			pause = 1000 + 2000 * Math.random();
		} finally {
			clearTimeout(held);
		}
		if (!stopped.signal.aborted) {
			setTimeout(ask, pause);
		}
	}

	panel.on('form', 'submit', (event) => {
		event.preventDefault();
		const { msg } = event.target.elements;
		panel.expect();
		fetch('/chat.php?msg=' + encodeURIComponent(msg.value)); // goes on to PHP, which writes the file
		msg.value = '';
	});

	ask();
	return () => stopped.abort();
}
