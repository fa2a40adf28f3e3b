//! The tree of the paths that are wanted, for formats whose schemas are known beforehand.

/// The tree; node 0 is the record itself.
#[derive(Debug)]
pub struct Paths {
    /// The nodes; children come after their parents.
    pub nodes: Vec<Node>,
}

/// One name on the way.
#[derive(Debug, Default)]
pub struct Node {
    /// What ends here.
    pub targets: Vec<usize>,
    /// The wanted fields of the record here.
    pub fields: Vec<(String, usize)>,
    /// What ends further inside.
    pub below: Vec<usize>,
}

impl Paths {
    /// The tree of `paths`, whose names are parted by dots, each with what it leads to.
    pub fn new<'a>(paths: impl IntoIterator<Item = (usize, &'a str)>) -> Paths {
        let mut nodes = vec![Node::default()];
        for (target, path) in paths {
            let mut at = 0;
            for name in path.split('.') {
                nodes[at].below.push(target);
                let known = nodes[at].fields.iter().find(|(field, _)| field == name);
                at = match known {
                    Some((_, node)) => *node,
                    None => {
                        let node = nodes.len();
                        nodes[at].fields.push((name.to_owned(), node));
                        nodes.push(Node::default());
                        node
                    }
                };
            }
            nodes[at].targets.push(target);
        }
        Paths { nodes }
    }
}

impl Node {
    /// Tells whether nothing of it is wanted.
    pub fn is_unwanted(&self) -> bool {
        self.targets.is_empty() && self.fields.is_empty()
    }

    /// Everything that ends here or further inside.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        self.targets.iter().chain(&self.below).copied()
    }
}
