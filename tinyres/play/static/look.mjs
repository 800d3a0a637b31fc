// What a program that looks at its gradient gives: the header's layout says which number stands where.

export function lookReader(layout) {
  return layout ? () => { throw new Error("[look] this layout is newer than this page; load the page anew"); } : null;
}
