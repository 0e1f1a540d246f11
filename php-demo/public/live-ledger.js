// Whether every event arrives, and once: PHP numbers those of each channel.
export class Ledger {
	// base has the number of each channel's last event before this page.
	constructor(base) {
		this.channels = {};
		for (const [channel, n] of Object.entries(base)) {
			// published is the highest number that PHP has said, last the highest that has arrived.
			this.channels[channel] = { base: n, published: n, last: n, missing: new Set() };
		}
		this.twice = 0;
		this.draw();
	}

	// published: PHP says that it has published an event of that number.
	published(channel, n) {
		const c = this.channels[channel];
		c.published = Math.max(c.published, n);
		this.draw();
	}

	// arrived: an event of that number has come, after so many ms (null: unknown), by a way (undefined: while it looked for
	// one, with the poll that asks whether the server is there).
	arrived(channel, n, latency, way) {
		const c = this.channels[channel];
		if (n > c.last) {
			for (let skipped = c.last + 1; skipped < n; skipped++) {
				c.missing.add(skipped);
			}
			c.last = n;
		} else if (!c.missing.delete(n)) {
			this.twice++;
		}
		const strip = document.getElementById('strip');
		const bar = document.createElement('i');
		bar.dataset.way = way || '';
		bar.title = `${channel} ${n}${latency === null ? '' : ': ' + Demo.ms(latency)}${way ? ' by ' + way : ''}`;
		bar.style.height = `${Math.min(100, 12 + 22 * Math.log10(1 + (latency || 0)))}%`;
		strip.append(bar);
		while (strip.children.length > 90) {
			strip.firstElementChild.remove();
		}
		this.published(channel, n);
	}

	draw() {
		let published = 0, lost = 0, waited = 0;
		for (const c of Object.values(this.channels)) {
			published += c.published - c.base;
			lost += c.missing.size;
			waited += c.published - c.last;
		}
		const { twice } = this, wrong = lost > 0 || twice > 0;
		for (const [name, number] of Object.entries({ published, arrived: published - lost - waited, lost, twice })) {
			document.querySelector(`#ledger [data-${name}]`).textContent = number;
		}
		const proof = document.querySelector('.proof');
		proof.classList.toggle('bad', wrong);
		proof.classList.toggle('waits', waited > 0);
		if (published) {
			document.getElementById('verdict').textContent = wrong ? 'That should not happen. Please tell us how it came about.'
				: waited ? `${waited} on the way, and will arrive.` : `All ${published} arrived, each once.`;
		}
	}
}
