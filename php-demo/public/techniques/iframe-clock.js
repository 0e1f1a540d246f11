// The clock in a frame: what backend.php writes calls comet.printServerTime in this page. That the address ends in .php
// tells no longer who answers: through us it is Caddy, and PHP only publishes the time, once for everybody.
import endlessFrame from './frame.js';

const clock = (time) => new Date(time * 1000).toLocaleTimeString('en-GB');

export default function iframeClock(panel) {
	window.comet = {
		printServerTime(time) {
			panel.received(`<script>parent.comet.printServerTime(${time});</script>`);
			panel.find('[data-time]').textContent = clock(time);
			panel.told(String(time), null);
		},
	};
	const remove = endlessFrame(panel, () => './clock/backend.php');

	// As it was first written: the frame is PHP's, and so is the worker that is gone for as long as it is open.
	const button = panel.find('[data-loop]');
	let loop = null, last;
	window.loop = { printServerTime: (time) => { panel.find('[data-loop-time]').textContent = clock(time); } };
	const end = () => {
		clearTimeout(last);
		loop?.remove();
		loop = null;
		button.textContent = 'Loop for 30 s';
		panel.find('[data-loop-held]').textContent = '0 workers';
		panel.find('[data-loop-time]').textContent = '–';
	};
	panel.on('[data-loop]', 'click', () => {
		if (loop) {
			end();
			return;
		}
		loop = document.createElement('iframe');
		loop.hidden = true;
		loop.src = './clock/loop.php';
		document.body.append(loop);
		button.textContent = 'End it';
		panel.find('[data-loop-held]').textContent = '1 worker of 2';
		last = setTimeout(end, 30_000);
	});

	return () => {
		remove();
		end();
	};
}
