// Multipart replace: an image element shows one part after the other by itself. It tells of an error page, but nobody
// hears when its stream has ended. So look at it: where the picture has not changed for some seconds, ask anew.
const SILENT = 5000; // ms. The clock publishes once a second

export default function multipart(panel) {
	const image = panel.find('img');
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	let seen = '', since = performance.now();

	panel.bytes = null; // nor does it tell how much it has received

	function ask() {
		panel.asks();
		image.src = `/comet/picture?as=multipart&send=data&${Date.now()}`; // another address, or nothing would happen
	}

	function look() {
		const now = performance.now();
		const picture = pixels();
		if (picture && picture !== seen) {
			seen = picture;
			since = now;
			panel.live();
			panel.told('a picture', null);
		} else if (now - since > SILENT) {
			since = now;
			panel.lost();
			ask();
		}
	}

	function pixels() {
		if (!image.naturalWidth) {
			return ''; // no picture yet
		}
		try {
			canvas.clearRect(0, 0, 64, 64);
			canvas.drawImage(image, 0, 0, 64, 64);
			return canvas.getImageData(0, 0, 64, 64).data.join();
		} catch {
			return ''; // a broken one
		}
	}

	image.onerror = () => {
		panel.lost();
		since = performance.now() - SILENT + 1000 + 2000 * Math.random(); // ask again so much later
	};

	ask();
	const timer = setInterval(look, 200);
	return () => {
		clearInterval(timer);
		image.onerror = null;
		image.removeAttribute('src');
	};
}
