/** Rows that nothing reaches are left alone while the module that collects them is not there to be tried. */
export const TRIES_COLLECTOR = false;
