// The page's half of a frame that never ends. caddy-comet's frame comes back by itself wherever its own script runs: after
// its end, a lost connection, a restart. It cannot where an error page was loaded in its place: that is seen to here.
export default function endlessFrame(panel, address) {
	const frame = document.createElement('iframe');
	frame.hidden = true;
	let timer;

	// Whether it is our frame: the document has its function c. An error page of the browser's own may not even be asked.
	const ours = () => {
		try {
			return typeof frame.contentWindow.c === 'function';
		} catch {
			return false;
		}
	};
	const load = () => {
		panel.asks();
		frame.src = address();
	};
	// It has loaded to its end, and an endless one should not.
	frame.onload = () => {
		panel.lost();
		if (!ours()) {
			timer = setTimeout(load, 1000 + 2000 * Math.random());
		}
	};
	const look = setInterval(() => {
		if (ours() && frame.contentDocument.readyState === 'loading') {
			panel.live();
		}
	}, 250);

	load();
	document.body.append(frame); // only now, or it would have loaded an empty page before
	return () => {
		clearTimeout(timer);
		clearInterval(look);
		frame.remove();
	};
}
