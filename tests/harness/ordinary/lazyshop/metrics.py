from metrics import Counter

requests = Counter("lazyshop_requests")
