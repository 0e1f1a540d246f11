type Column = (number | null)[];

/**
 * Has each line stand on the next one; the first is the top of all. A line that did not yet exist is one of no
 * height: a gap in it would leave what stands on it without an area.
 */
export function stack(columns: Column[]): Column[] {
	const stacked = columns.slice();
	for (let i = columns.length - 1; i >= 0; i--) {
		stacked[i] = columns[i].map((v, at) => (columns.every((c) => c[at] === null) ? null : (v ?? 0) + (stacked[i + 1]?.[at] ?? 0)));
	}
	return stacked;
}
