"""One file a tab: the requests that a person can make there. The only room that joins rooms."""
