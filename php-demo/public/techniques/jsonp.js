// JSONP: each question is a script element, each answer a script that calls the function named in the question. A script
// element may be of any origin, tells nothing of the error it ran into, and cannot be called back once it is under way.
import { otherOrigin } from './other-origin.js';

let number = 0;

export default function jsonp(panel) {
	let origin = otherOrigin;
	let cursor = '';
	let stopped = false;

	function ask() {
		const name = 'cometAnswer' + ++number; // a late answer must not be taken for another's
		const script = document.createElement('script');
		let answer = null;
		window[name] = (given) => { answer = given; };
		script.onload = script.onerror = () => {
			script.remove();
			delete window[name];
			if (!stopped) {
				take(answer, name);
			}
		};
		script.src = `${origin}/jsonp/demo?since=${cursor}&callback=${name}`;
		panel.asks();
		document.head.append(script);
	}

	function take(answer, name) {
		if (!answer) {
			// An error, or an answer that called nobody. Perhaps this browser does not trust the other name's certificate:
			// take turns with the own one.
			panel.lost();
			origin = origin ? '' : otherOrigin;
			setTimeout(() => stopped || ask(), 1000 + 2000 * Math.random());
			return;
		}
		panel.received(`/**/${name}(${JSON.stringify(answer)});`);
		panel.live(origin && `from ${new URL(origin).host}`);
		cursor = answer.cursor;
		if (answer.gap) {
			panel.gap();
		}
		answer.events.forEach((event) => panel.event(event));
		ask();
	}

	ask();
	return () => { stopped = true; };
}
