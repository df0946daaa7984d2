"""The admin server's API, one module a resource. Every write is an order with an author and a reason, or a proposal."""
