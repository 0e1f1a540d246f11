// Multipart replace: an image element shows one part after the other by itself. But it tells nobody when its stream has
// ended. So look at it, and where the picture has not changed for some seconds, though it should each second, ask anew.
export default function multipart(panel) {
	const image = panel.find('img');
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	let seen = '', since = performance.now();

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
		} else if (now - since > 5000) {
			since = now;
			panel.lost();
			ask();
		}
	}

	function pixels() {
		try {
			canvas.clearRect(0, 0, 64, 64);
			canvas.drawImage(image, 0, 0, 64, 64);
			return canvas.getImageData(0, 0, 64, 64).data.join();
		} catch {
			return ''; // no picture yet, or a broken one
		}
	}

	ask();
	const timer = setInterval(look, 200);
	return () => {
		clearInterval(timer);
		image.removeAttribute('src');
	};
}
