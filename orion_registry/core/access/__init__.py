"""Who may do what: roles in namespaces, and capabilities that an identity may claim. Pure, like the rest of core."""
