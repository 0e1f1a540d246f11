// The forever frame: the server writes <script>parent.updateResult({…})</script> for each event.
import endlessFrame from './frame.js';

export default function foreverFrame(panel) {
	let cursor = 'now';

	window.updateResult = (event) => {
		panel.received(`<script>parent.updateResult(${JSON.stringify(event)});c("${event.cursor}")</script>`);
		cursor = event.cursor;
		if (event.gap) {
			panel.gap();
		} else {
			panel.event(event);
		}
	};

	const remove = endlessFrame(panel, () => `/comet/demo?as=frame&callback=parent.updateResult&since=${cursor}`);
	return () => {
		remove();
		window.updateResult = () => {};
	};
}
