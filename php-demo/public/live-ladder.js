// The ladder of ways, best first: which one comet.js goes, what became of those above, and a switch for each.
export class Ladder {
	// ways are those that are cut off; changed is told of them after each press of a switch.
	constructor(ways, changed) {
		this.rungs = [...document.querySelectorAll('#ladder li')];
		this.path = document.getElementById('path');
		this.change = { state: 'connecting' };
		for (const rung of this.rungs) {
			rung.querySelector('button').addEventListener('click', () => {
				rung.cut = !rung.cut;
				this.draw();
				changed(this.cut());
			});
		}
		this.set(ways);
		this.begin();
	}

	// set sets the switches.
	set(ways) {
		for (const rung of this.rungs) {
			rung.cut = ways.includes(rung.dataset.way);
		}
		this.draw();
	}

	// cut returns the ways that are cut off, the best first.
	cut() {
		return this.rungs.filter((rung) => rung.cut).map((rung) => rung.dataset.way);
	}

	// begin starts the story of a new connection.
	begin() {
		this.began = performance.now();
		this.tried = [];
	}

	// show is told each state of the connection.
	show(change) {
		if (change.state === 'closed') {
			return;
		}
		this.change = change;
		const { state, transport, error } = change;
		if (transport && this.tried.at(-1) !== transport) {
			this.tried.push(transport);
		}
		// Something may let a way begin, and then cut it.
		if (this.open() && this.began !== null) {
			const took = performance.now() - this.began;
			this.began = null;
			this.path.textContent = this.tried.map((way, i, all) => this.name(way) + (i < all.length - 1 ? ' ✕' : ' ✓')).join('  →  ') + `  in ${Demo.ms(took)}`;
		} else if (state === 'waiting') {
			if (this.began === null) {
				this.begin();
			}
			this.path.textContent = `Not connected; it tries again by itself. ${error || ''}`;
		}
		this.draw();
	}

	name(way) {
		return this.rungs.find((rung) => rung.dataset.way === way).querySelector('strong').textContent;
	}

	open() {
		return this.change.state === 'open' && !this.cut().includes(this.change.transport);
	}

	draw() {
		const { state, transport } = this.change;
		const at = this.rungs.findIndex((rung) => rung.dataset.way === transport);
		this.rungs.forEach((rung, i) => {
			let is = 'spare';
			if (i === at) {
				is = this.open() ? 'used' : state === 'waiting' ? 'lost' : 'tried';
			} else if (rung.cut) {
				is = 'cut';
			} else if (i < at) {
				is = 'passed';
			}
			rung.dataset.is = is;
			rung.querySelector('.said').textContent = {
				used: 'in use', tried: 'trying', lost: 'tries again', cut: 'cut off', passed: 'passed over', spare: 'not needed',
			}[is];
			rung.querySelector('button').setAttribute('aria-checked', String(!rung.cut));
		});
		const way = document.getElementById('way');
		way.textContent = this.open() ? this.name(transport) : state === 'waiting' ? 'nothing' : 'connecting';
		way.parentElement.dataset.way = this.open() ? transport : '';
	}
}
